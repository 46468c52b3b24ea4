"""The second factor: which Authorization headers are let in, and which Secrets make no sense."""

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kargo.objects import Secret
from controller.receivers.second_factor import FactorError, SecondFactor
from tests.strategies import ANY_TEXT


def secret(
    username: bytes | None = None, password: bytes | None = None, authorization: bytes | None = None
) -> Secret:
    return Secret("p", "s", "u", "1", b"s3cret", username, password, authorization)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


NONE = secret()
PAIR = secret(b"zoe", b"pw")
HEADER = secret(authorization=b"Bearer t0ken")
HEADER_UTF8 = secret(authorization="Bearer t0kén".encode())
BOTH = secret(b"zoe", b"pw", b"Bearer t0ken")


@pytest.mark.parametrize(
    ("given", "headers", "accepted"),
    [
        pytest.param(NONE, [], True, id="none demanded, none given"),
        pytest.param(NONE, ["Basic x"], True, id="none demanded, one given"),
        pytest.param(PAIR, [], False, id="pair, nothing given"),
        pytest.param(PAIR, [basic("zoe", "pw")], True, id="pair"),
        pytest.param(PAIR, ["bAsIc  " + basic("zoe", "pw")[6:]], True, id="scheme in any case"),
        pytest.param(PAIR, [basic("zoe", "pW")], False, id="wrong password"),
        pytest.param(PAIR, [basic("Zoe", "pw")], False, id="wrong user"),
        pytest.param(PAIR, [basic("zoe", "pw").swapcase()], False, id="the rest keeps its case"),
        pytest.param(PAIR, ["Bearer t0ken"], False, id="another scheme"),
        pytest.param(PAIR, ["Basic"], False, id="scheme alone"),
        pytest.param(HEADER, ["Bearer t0ken"], True, id="header"),
        pytest.param(HEADER, [" Bearer t0ken "], True, id="header with blanks around"),
        pytest.param(HEADER, ["bearer t0ken"], False, id="header in another case"),
        pytest.param(HEADER, ["Bearer t0ke"], False, id="header cut short"),
        pytest.param(HEADER, [basic("zoe", "pw")], False, id="header, pair given"),
        pytest.param(BOTH, [basic("zoe", "pw")], True, id="both, pair given"),
        pytest.param(BOTH, ["Bearer t0ken"], True, id="both, header given"),
        pytest.param(BOTH, ["Bearer no"], False, id="both, neither given"),
        pytest.param(BOTH, ["no", "Bearer t0ken"], True, id="second header counts too"),
        pytest.param(HEADER, ["no"] * 4 + ["Bearer t0ken"], False, id="fifth header does not"),
        pytest.param(secret(authorization=b"\xfc"), ["ü"], True, id="bytes that are no UTF-8"),
        pytest.param(HEADER_UTF8, ["Bearer t0k\xc3\xa9n"], True, id="UTF-8, as Tornado decodes it"),
        pytest.param(HEADER_UTF8, ["Bearer t0k\xe9n"], False, id="Latin-1 for UTF-8"),
        pytest.param(HEADER_UTF8, ["Bearer t0k\u20acn"], False, id="no header's text"),
        pytest.param(secret("ü".encode(), b"p:w"), [basic("ü", "p:w")], True, id="umlaut, colon in password"),
        pytest.param(secret(authorization=b"basic QQ=="), ["Basic QQ=="], True, id="a basic header as value"),
        pytest.param(secret(authorization=b"Bearer x\n"), ["Bearer x"], True, id="line break in the Secret"),
    ],
)
def test_accepts(given: Secret, headers: list[str], accepted: bool) -> None:
    """Where both factors are set, either suffices; where none is, anything does."""
    assert SecondFactor(given).accepts(headers) is accepted


@pytest.mark.parametrize(
    ("given", "key"),
    [
        pytest.param(secret(username=b"zoe"), "receiver-password", id="password missing"),
        pytest.param(secret(password=b"pw"), "receiver-username", id="user missing"),
        pytest.param(secret(b"", b"pw"), "receiver-username", id="user empty"),
        pytest.param(secret(b"zoe", b""), "receiver-password", id="password empty"),
        pytest.param(secret(authorization=b""), "receiver-authorization", id="header empty"),
        pytest.param(secret(authorization=b" \n"), "receiver-authorization", id="header blank"),
        pytest.param(secret(b"zoe", None, b"x"), "receiver-password", id="half a pair beside a header"),
    ],
)
def test_half_a_factor_is_a_fault(given: Secret, key: str) -> None:
    """Half a pair, or an empty value, is told with the key to fix, and never with a value."""
    with pytest.raises(FactorError, match=f'key "{key}" is') as caught:
        SecondFactor(given)
    assert "zoe" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param(NONE, "", id="none"),
        pytest.param(PAIR, "basic authentication", id="pair"),
        pytest.param(HEADER, "Authorization header", id="header"),
        pytest.param(BOTH, "basic authentication or Authorization header", id="both"),
    ],
)
def test_description(given: Secret, words: str) -> None:
    """The condition can say which factors are demanded."""
    assert SecondFactor(given).description == words


def test_every_comparison_is_made_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """All values are compared, through hmac, at equal lengths: timing tells neither which nor how far."""
    compared: list[tuple[int, int]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    factor = SecondFactor(BOTH)
    assert factor.accepts([basic("zoe", "pw"), "x"])
    assert compared == [(32, 32)] * 4


@given(st.lists(ANY_TEXT, max_size=6))
def test_no_header_is_let_in_by_chance(headers: list[str]) -> None:
    """No text in a header makes it fail, and none but the right one passes."""
    assert not SecondFactor(BOTH).accepts(headers)


def test_values_are_not_kept() -> None:
    """A dump of the object shows no value of the Secret."""
    factor = SecondFactor(BOTH)
    assert "pw" not in repr(vars(factor))
    assert "t0ken" not in repr(vars(factor))
