"""What the page says of Kargo."""

from datetime import UTC, datetime, timedelta

import pytest

from controller.application.overview import Overview
from controller.kargo.objects import Target
from controller.kargo.warehouse import Warehouse, moment
from webhook.admin.ports import Pickup

CAME = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)


class _Store(dict[tuple[str, str], Warehouse]):
    def get(self, namespace: str, name: str) -> Warehouse | None:  # type: ignore[override]
        return super().get((namespace, name))


def overview(*warehouses: Warehouse) -> Overview:
    """An overview over these Warehouses alone."""

    class _Informer:
        store = _Store({(each.namespace, each.name): each for each in warehouses})

    class _Informers:
        warehouses = _Informer()

    return Overview(
        _Informers(),  # type: ignore[arg-type]
        (),
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        not_ready=list,
        storage_queues=list,
    )


def at(seconds: float) -> str:
    """A refresh annotation so long after the delivery."""
    return (CAME + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("annotation", "handled", "pickup"),
    [
        pytest.param(at(1), at(1), Pickup.PICKED_UP, id="handled"),
        pytest.param(at(1), at(-9), Pickup.WAITING, id="outstanding"),
        pytest.param(at(9), at(1), Pickup.PICKED_UP, id="a-later-one-is-outstanding"),
        pytest.param(at(-9), at(-9), Pickup.NOT_REFRESHED, id="earlier"),
        pytest.param("", "", Pickup.NOT_REFRESHED, id="never"),
    ],
)
def test_whether_kargo_has_looked_since(annotation: str, handled: str, pickup: Pickup) -> None:
    """From the annotation and what Kargo has copied of it."""
    requested = annotation if annotation != handled else ""
    kept = handled if requested else ""
    warehouse = Warehouse(Target("Warehouse", "p", "w"), "u", "1", (), 0, requested, kept, moment(annotation))
    assert overview(warehouse).pickup("Warehouse", "p", "w", CAME) is pickup


def test_what_is_gone_or_of_another_kind() -> None:
    """Said as it is."""
    assert overview().pickup("Warehouse", "p", "w", CAME) is Pickup.GONE
    assert overview().pickup("Promotion", "p", "w", CAME) is Pickup.UNKNOWN
