"""Lists as the real API server writes them."""

from pathlib import Path

from controller.kargo.objects import WAREHOUSES
from controller.runtime.api.client import Client, load_configuration
from controller.runtime.api.wire import parse_page, peek_token
from controller.runtime.clock import Clock
from e2e.kargo.project import Project, image
from tests.support.aio import run


def test_the_token_of_the_next_page_is_seen_at_the_end_of_a_page(
    project: Project, receiver_kubeconfig: Path
) -> None:
    """Or the server would wait for its next request until a page is taken apart."""
    for name in ("a", "b", "c"):
        project.add_warehouse(name, image(f"contoso.azurecr.io/{name}"))

    async def pages() -> list[tuple[str, str]]:
        clock = Clock()
        client = Client(await load_configuration(str(receiver_kubeconfig), clock), clock=clock)
        found: list[tuple[str, str]] = []
        token = ""
        try:
            while not found or token:
                body = await client.list_page(
                    WAREHOUSES, namespace=project.name, limit=2, continue_token=token or None
                )
                token = parse_page(body).token
                found.append((peek_token(body), token))
        finally:
            await client.close()
        return found

    (seen, first), (none, last) = run(pages())
    assert seen == first != ""
    assert none == last == ""
