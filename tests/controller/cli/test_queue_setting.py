"""The setting of queues: repeatable, and its query, which may be a credential, is never shown."""

import pytest

from controller.cli.settings import SettingsError
from tests.support.settings import parse

BASE = ["--base-url=https://kargo.example.com"]
URL = "https://acct.queue.core.windows.net/events"


def test_flag_is_repeatable_and_goes_before_the_variable() -> None:
    """Each flag adds a queue; the variable counts where there is no flag."""
    flags = [*BASE, f"--queue={URL}", f"--queue={URL}2;project=shop"]
    names = [each.name for each in parse(flags, {"AZURE_QUEUES": f"{URL}3"}).queues]
    assert names == ["queue:acct/events", "queue:acct/events2"]
    assert [each.name for each in parse(BASE, {"AZURE_QUEUES": f"{URL} {URL}3"}).queues] == [
        "queue:acct/events",
        "queue:acct/events3",
    ]
    assert parse(BASE, {}).queues == ()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://acct.queue.core.windows.net/?sv=1&sig=hush", id="query"),
        pytest.param(f"{URL}&sv=1&sig=hush", id="no-question-mark"),
        pytest.param(f"{URL}#sv=1&sig=hush", id="fragment"),
        pytest.param("https://sv=1:hush@acct.queue.core.windows.net/events", id="user"),
        pytest.param(f"{URL}?sv=1&sig=hush {URL}?sv=1&sig=hush", id="twice"),
    ],
)
def test_a_signature_is_not_shown(url: str) -> None:
    """The error for a wrong URL has nothing that may be a credential."""
    with pytest.raises(SettingsError) as caught:
        parse([*BASE, f"--queue={url}"], {})
    assert "hush" not in str(caught.value)
    assert "sv=1" not in str(caught.value)
