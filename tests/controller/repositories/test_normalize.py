"""Kargo's normalization: its own fixture, the corners of Go's parsers, and what must hold for any text."""

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.repositories.gotext import printable
from controller.repositories.normalize import normalize_chart, normalize_git, normalize_image
from tests.strategies import ANY_TEXT, KINDS, URL_LIKE

DATA = Path(__file__).parents[2] / "data"
NORMALIZE = {"git": normalize_git, "image": normalize_image, "chart": normalize_chart}
MEGABYTE = 1 << 20


def _rows(file: str) -> list[tuple[str, str, str]]:
    lines = (DATA / file).read_text().splitlines()[1:]
    cells = [line.split("\t") for line in lines]
    return [(kind, json.loads(given), json.loads(normalized)) for kind, given, normalized in cells]


@pytest.mark.parametrize(("kind", "given", "normalized"), _rows("normalization.tsv"))
def test_kargos_own_answers(kind: str, given: str, normalized: str) -> None:
    """Every row of what Kargo's functions gave is met byte for byte."""
    assert NORMALIZE[kind](given) == normalized


@pytest.mark.parametrize(("kind", "given", "normalized"), _rows("normalization_corners.tsv"))
def test_corners_of_gos_parsers(kind: str, given: str, normalized: str) -> None:
    """Every row of what Go 1.26 and go-containerregistry 0.21 gave for odd inputs is met byte for byte."""
    assert NORMALIZE[kind](given) == normalized


@given(KINDS, ANY_TEXT | URL_LIKE)
def test_any_text_is_normalized_to_text(kind: str, text: str) -> None:
    """No text makes a function raise, and an answer that differs from the question is cleaned."""
    normalized = NORMALIZE[kind](text)
    assert normalized == text or printable(normalized) == normalized.strip(" ")


@given(URL_LIKE)
def test_case_and_invisible_characters_do_not_count(text: str) -> None:
    """What Kargo removes first can't tell two URLs apart, unless they are returned as they were given."""
    normalized = normalize_git(text)
    if normalized != text:
        assert normalize_git(f" \u200b{text}\ufeff\t") == normalized


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param("git", "https://h/" + "a" * MEGABYTE, id="plain path"),
        pytest.param("git", "https://h/" + "(" * MEGABYTE + ".git", id="path to encode anew"),
        pytest.param("git", "https://h/" + "%41" * (MEGABYTE // 3), id="escapes"),
        pytest.param("git", "https://" + "a" * MEGABYTE, id="host"),
        pytest.param("git", "https://" + "a:" * (MEGABYTE // 2) + "/", id="colons"),
        pytest.param("git", "https://" + "a@" * (MEGABYTE // 2) + "/", id="at signs"),
        pytest.param("git", "https://[" + ":" * MEGABYTE + "]/", id="brackets"),
        pytest.param("git", "https://h/?" + "%&" * (MEGABYTE // 2), id="query"),
        pytest.param("git", "a." * (MEGABYTE // 2) + "!", id="labels"),
        pytest.param("git", "a@" * (MEGABYTE // 2), id="users"),
        pytest.param("git", "\u200b" * MEGABYTE, id="invisible"),
        pytest.param("image", "a:" * (MEGABYTE // 2), id="tags"),
        pytest.param("image", "ö." * (MEGABYTE // 2) + "/ab", id="registry"),
        pytest.param("chart", "oci://h/" + "ö" * MEGABYTE, id="chart"),
    ],
)
def test_a_megabyte_costs_no_more_than_its_length(kind: str, text: str) -> None:
    """A huge URL is normalized in linear time: it can't hold up the process."""
    started = time.perf_counter()
    NORMALIZE[kind](text)
    assert time.perf_counter() - started < 5


@given(
    st.sampled_from(
        ["contoso.azurecr.io", "docker.io", "index.docker.io", "registry-1.docker.io", "a..b", "-.-"]
    )
    | st.sampled_from(["x.docker.io", "localhost", "contoso", "ghcr.io", "10.0.0.1", "my-docker.io", "a.b."]),
    st.text("ab/._-:@A", max_size=6),
)
def test_a_plain_image_is_what_the_general_rules_make_of_it(registry: str, repository: str) -> None:
    """Recognizing it at once changes no answer."""
    url = f"{registry}/{repository}"
    at_once = normalize_image(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("controller.repositories.normalize._PLAIN_IMAGE", re.compile("(?!)"))
        assert at_once == normalize_image(url)
