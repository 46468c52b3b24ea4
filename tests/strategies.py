"""Hypothesis strategies shared by the tests: URLs, and the bodies that senders send."""

from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(codec=None))
"""Any Python string, lone surrogates included."""

_PIECES = st.sampled_from(
    [
        *(
            "https://",
            "http://",
            "ssh://",
            "oci://",
            "OCI://",
            "git@",
            "user:pw@",
            "/",
            "//",
            ":",
            "@",
            "?",
            "#",
            "%",
        ),
        *("dev.azure.com", "ssh.dev.azure.com", "vs-ssh.visualstudio.com", "contoso.visualstudio.com"),
        *(
            "contoso.azurecr.io",
            "contoso.westeurope.geo.azurecr.io",
            "docker.io/",
            "library/",
            "localhost",
            ":5000",
        ),
        *(
            "/v3/",
            "/_git/",
            "/_ssh/",
            "/DefaultCollection",
            "/_optimized",
            "contoso",
            "proj",
            "My Proj",
            "Repo",
        ),
        *(
            ".git",
            "/.git",
            "%20",
            "%2F",
            "%zz",
            "%C3%B6",
            "ö",
            "İ",
            "Σ",
            "\u200b",
            "[::1]",
            "[fe80::1%25en0]",
        ),
        *(":latest", "@sha256:" + "a" * 64, "?x=1", "?;", "(1)", "a:b", "*", " ", "\x1f", "\x1fado\x1fa/b/c"),
    ]
)
URL_LIKE = st.lists(st.one_of(_PIECES, _PIECES, st.text(max_size=3)), max_size=9).map("".join)
"""Text that looks enough like a repository URL to reach the far corners of the rules."""

KINDS = st.sampled_from(["git", "image", "chart"])

AZURE_NAME = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,10}[A-Za-z0-9])?", fullmatch=True).filter(
    lambda name: not name.lower().endswith(".git") and name.lower() != "defaultcollection"
)
"""The name of a project or repository."""

AZURE_ORGANIZATION = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,8}[A-Za-z0-9])?", fullmatch=True).filter(
    lambda name: name.lower() != "vs-ssh"
)
