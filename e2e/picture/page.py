"""``python -m e2e.picture.page [FOLDER]``: draw docs/images/page.png anew; into FOLDER, other views.

Needs Chromium. The page is the real one; what it shows is made up, so that all there is to see is in it.
"""

import random
import sys
from pathlib import Path

from playwright.sync_api import Browser

from controller.refreshing.near_misses import WHY, Kind
from e2e.receiver import ROOT
from tests.support.admin import FakeHistory, FakeProgram, delivery, site
from tests.support.browser import chromium
from webhook.admin.deliveries import Delivery, NearMiss
from webhook.admin.ports import Pickup, ReceiverState, Subject
from webhook.payloads.event_types import ACR, AZURE_DEVOPS

TARGET = ROOT / "docs" / "images" / "page.png"
REGISTRY = "contoso.azurecr.io"
APPS = (
    "storefront/web",
    "storefront/api",
    "payments/api",
    "payments/worker",
    "base/python",
    "search/indexer",
)
NEAR_MISSES = (
    NearMiss(WHY[Kind.OUT_OF_SCOPE], "payments-eu", "api", f"{REGISTRY}/payments/api"),
    NearMiss(WHY[Kind.OTHER_PLACE], "shop", "api-mirror", "contosoeu.azurecr.io/payments/api"),
)
RECEIVERS = (
    ReceiverState("shop/azure", "served"),
    ReceiverState("payments/registry", "served", second_factor="Authorization"),
    ReceiverState("cluster/everything", "served"),
    ReceiverState(
        "search/azure",
        "served",
        'Secret "azure-wh" in namespace "search": key "secret" is shorter than 16 bytes',
    ),
    ReceiverState(
        "billing/azure", "pending", 'Secret "billing-wh" in namespace "billing" can\'t be read (RBAC)'
    ),
    ReceiverState(
        "identity/azure", "faulty", 'Secret "azure-wh-secret" in namespace "identity" does not exist'
    ),
)
UNMATCHED = delivery(
    0,
    id="unmatched",
    receiver="shop/azure",
    outcome="unmatched",
    matched=0,
    refreshed=0,
    refs=("v2.0.1",),
    subjects=(Subject("image", f"{REGISTRY}/payments/api"),),
    near_misses=NEAR_MISSES,
)


def history(receivers: int, deliveries: int) -> FakeHistory:
    """What came in: mostly pushes that refreshed something, and one that matched nothing."""
    chance = random.Random(11)
    names = [each.name for each in RECEIVERS[:4]] if receivers <= len(RECEIVERS) else list(_names(receivers))
    return FakeHistory(UNMATCHED, *(_delivery(number, chance, names) for number in range(1, deliveries)))


def _delivery(number: int, chance: random.Random, names: list[str]) -> Delivery:
    outcome = chance.choices(("refreshed", "unmatched", "answered", "refused", "rejected"), (60, 4, 3, 2, 1))[
        0
    ]
    git = chance.random() < 0.3
    app = chance.choice(APPS)
    url = f"https://dev.azure.com/contoso/{app.replace('/', '/_git/')}" if git else f"{REGISTRY}/{app}"
    matched = chance.choice((1, 1, 2, 2, 12)) if outcome in ("refreshed", "rejected") else 0
    fields: dict[str, object] = {
        "receiver": chance.choice(names),
        "outcome": outcome,
        "source": AZURE_DEVOPS if git else ACR,
        "event": "git.push" if git else "push",
        "subjects": (Subject("git" if git else "image", url),),
        "refs": ("refs/heads/main",) if git else (f"v1.{chance.randrange(9)}.{chance.randrange(20)}",),
        "matched": matched,
        "refreshed": matched if outcome == "refreshed" else 0,
        "rejected": matched if outcome == "rejected" else 0,
        "seconds": chance.uniform(0.005, 0.09),
    }
    if outcome == "answered":
        fields |= {"event": "ping", "source": ACR, "subjects": (), "refs": (), "reason": "a ping"}
    if outcome == "refused":
        fields |= {
            "event": "",
            "source": "unknown",
            "subjects": (),
            "refs": (),
            "code": 401,
            "reason": "the Authorization header is missing or wrong",
        }
    return delivery(number, **fields)


def _names(receivers: int) -> tuple[str, ...]:
    return tuple(f"team-{number:03}/azure" for number in range(receivers))


def main() -> int:
    """Draw the README's picture, or all of them into a folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    program = FakeProgram(*RECEIVERS)
    with chromium() as browser:
        with site(program, history(len(RECEIVERS), 120)) as url:
            _draw(browser, url, TARGET, height=1000, width=1180)
            if folder is None:
                return 0
            for scheme in ("light", "dark"):
                for name, path in (("overview", "/"), ("delivery", "/deliveries/unmatched")):
                    _draw(browser, url + path, folder / f"{name}-{scheme}.png", scheme=scheme)
                    _draw(
                        browser, url + path, folder / f"{name}-{scheme}-narrow.png", scheme=scheme, width=390
                    )
            _draw(browser, f"{url}/deliveries", folder / "deliveries-tablet.png", width=800)
            program.targets = [("Warehouse", "shop", name) for name in ("web", "web-canary", "api")]
            program.pickups = {"web-canary": Pickup.WAITING}
            _draw(browser, f"{url}/deliveries/d-00003", folder / "delivery-refreshed.png")
        much = FakeProgram(*(ReceiverState(name, "served") for name in _names(1_000)))
        with site(much, history(1_000, 10_000)) as url:
            for name, path in (("overview", "/"), ("deliveries", "/deliveries")):
                _draw(browser, url + path, folder / f"{name}-10000.png")
                _draw(browser, url + path, folder / f"{name}-10000-narrow.png", width=390)
    return 0


def _draw(
    browser: Browser, url: str, target: Path, *, scheme: str = "light", width: int = 1280, height: int = 0
) -> None:
    """Draw what a window of this width shows: all of the page, or its top."""
    context = browser.new_context(
        viewport={"width": width, "height": height or 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(url)
    page.screenshot(path=target, full_page=not height)
    context.close()


if __name__ == "__main__":
    sys.exit(main())
