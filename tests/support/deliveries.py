"""Deliveries to put into a journal."""

from webhook.arrival import Arrival, Subject


def arrival(
    name: str,
    *subjects: tuple[str, str],
    receiver: str = "kargo-demo/az",
    received: float = 1_800_000_000.0,
) -> Arrival:
    """Return a delivery with this id; of an image's repository if no subject is given."""
    about = tuple(Subject(*subject) for subject in subjects) or (Subject("image", "registry.azurecr.io/app"),)
    return Arrival(name, receiver, "acr", "push", f"sender's {name}", about, received)
