"""The page in a real Chromium."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.admin import FakeHistory, FakeProgram, delivery, site
from tests.support.browser import chromium
from webhook.admin.deliveries import NearMiss
from webhook.admin.ports import ReceiverState, Subject

HOSTILE = (
    "<script>document.title='hit'</script>",
    "<img src=x onerror=\"document.title='hit'\">",
    '"><svg onload="document.title=\'hit\'">',
    "' onmouseover='document.title=1",
    "</td></table></main><h1>hit</h1>",
    "javascript:document.title='hit'",
    "{{ 1/0 }}{% raw x %}",
    "&lt;b&gt;&#0;",
    "abc\u202egnp.exe\u2066x\u200fy",
    "a\x00b\x07c\x1b[31md\r\ne\u2028f",
    "e" + "\u0301" * 3000,
    "\u200b\u200d\ufeff",
    "x" * 4096,
    "<" * 4096,
    "長" * 4096,
    "%00%2e%2e/../../etc/passwd?#",
)
pytestmark = pytest.mark.process

PATHS = ("/", "/deliveries", "/deliveries/d-00000", "/receivers/kargo-demo/azure")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def watched(browser: Browser, **options: object) -> tuple[Page, list[str]]:
    """A page, and everything in it that goes wrong or asks anybody else for anything."""
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on(
        "request",
        lambda request: None if request.url.startswith("http://127.0.0.1:") else wrong.append(request.url),
    )
    return page, wrong


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:24])
def test_hostile_text_is_shown_harmlessly(browser: Browser, text: str) -> None:
    """Wherever a sender or tenant can write: nothing runs, nothing breaks out, nothing is off the page."""
    shown = delivery(
        0,
        event=text,
        repeats=text,
        near_note=text,
        via=text,
        refs=(text, text),
        sender_id=text,
        reason=text,
        subjects=(Subject("image", text),),
        near_misses=(NearMiss(text, text, text, text),),
    )
    states = (
        ReceiverState("kargo-demo/azure", "faulty", text, text),
        ReceiverState(f"demo/{text}", "served"),
    )
    program = FakeProgram(*states)
    program.targets = [("Warehouse", text, text)]
    program.error = text
    page, wrong = watched(browser, viewport={"width": 1280, "height": 900})
    with site(program, FakeHistory(shown)) as url:
        for path in PATHS:
            reply = page.goto(url + path)
            assert reply is not None
            assert reply.status == 200
            assert "hit" not in page.title()
            assert page.locator("script, iframe, object, form[action^=http]").count() == 0
            assert page.locator("main h1").count() <= 1
            assert page.locator("footer").count() == 1
            assert overflow(page) <= 0
            body = page.locator("body").inner_text()
            assert not set(body) & set("\u202e\u2066\u200f\x00\x07\x1b\u2028")
    page.context.close()
    assert wrong == []


def test_a_person_finds_why_a_push_did_nothing(browser: Browser) -> None:
    """Without JavaScript: from the overview by the search to the delivery, and back."""
    near = NearMiss("the same name in another registry", "kargo-demo", "mirror", "other.azurecr.io/guestbook")
    lost = delivery(0, id="lost", outcome="unmatched", matched=0, refreshed=0, near_misses=(near,))
    page, wrong = watched(browser, java_script_enabled=False)
    with site(None, FakeHistory(lost, *(delivery(number) for number in range(1, 300)))) as url:
        page.goto(url)
        page.get_by_role("link", name="all deliveries").click()
        page.get_by_label("Outcome").select_option("unmatched")
        page.get_by_role("button", name="Filter").click()
        assert "outcome=unmatched" in page.url
        assert page.locator("tbody tr").count() == 1
        page.locator("tbody tr a").first.click()
        assert "Nothing subscribes to its repository" in page.inner_text("main")
        assert "other.azurecr.io/guestbook" in page.inner_text("main")
        page.get_by_role("link", name="kargo-demo/azure").click()
        assert page.url.endswith("/receivers/kargo-demo/azure")
        page.get_by_role("link", name="Kargo Azure receiver").click()
        assert page.title().startswith("Overview")
    page.context.close()
    assert wrong == []


@pytest.mark.parametrize("width", [1280, 768, 360])
def test_much_is_a_short_page_on_every_screen(browser: Browser, scheme: str, width: int) -> None:
    """1,000 receivers and 10,000 deliveries: no scroll sideways, and no scroll of death."""
    states = [ReceiverState(f"project-{number:04}/azure", "served") for number in range(1_000)]
    kept = [delivery(number, receiver=states[number % 9].name) for number in range(10_000)]
    page, wrong = watched(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    with site(FakeProgram(*states), FakeHistory(*kept)) as url:
        for path in ("/", "/deliveries", f"/receivers/{states[0].name}", "/deliveries/d-00007"):
            page.goto(url + path)
            assert overflow(page) <= 0, path
            assert page.locator("tr").count() < 60
            assert page.evaluate("document.documentElement.scrollHeight") < 9 * 900
            dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 26)"
            assert dark is (scheme == "dark")
    page.context.close()
    assert wrong == []


def test_exact_times_are_shown_on_hover(browser: Browser) -> None:
    """Relative ones are read, exact ones looked up."""
    page, _ = watched(browser)
    with site(None, FakeHistory(delivery(90))) as url:
        page.goto(url + "/deliveries")
        time = page.locator("tbody time").first
        assert time.inner_text().endswith("ago")
        assert (time.get_attribute("title") or "").endswith(" UTC")
    page.context.close()
