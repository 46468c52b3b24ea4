"""Certificates and kubeconfig files of one control plane: its own CA, so that TLS is verified for real."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.controlplane.ports import HOST

SERVICE_ADDRESS = "10.0.0.1"
"""The API server's own Service: the first address of --service-cluster-ip-range."""


@dataclass(frozen=True)
class Credentials:
    """Files in one folder that only its owner can read, and the administrator's token."""

    folder: Path
    ca: Path
    certificate: Path
    key: Path
    service_account_key: Path
    tokens: Path
    admin_token: str


def create(folder: Path) -> Credentials:
    """Make a CA, the API server's certificate, a key that signs ServiceAccount tokens, an admin's token."""
    folder.mkdir(mode=0o700)
    authority = trustme.CA(organization_name="kargo-azure-receiver local control plane")
    leaf = authority.issue_cert(HOST, "localhost", SERVICE_ADDRESS, "kubernetes.default.svc")
    made = Credentials(
        folder=folder,
        ca=folder / "ca.crt",
        certificate=folder / "apiserver.crt",
        key=folder / "apiserver.key",
        service_account_key=folder / "service-account.key",
        tokens=folder / "tokens.csv",
        admin_token=secrets.token_urlsafe(32),
    )
    authority.cert_pem.write_to_path(str(made.ca))
    for index, blob in enumerate(leaf.cert_chain_pems):
        blob.write_to_path(str(made.certificate), append=index > 0)
    leaf.private_key_pem.write_to_path(str(made.key))
    made.service_account_key.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    made.tokens.write_text(f'{made.admin_token},admin,admin,"system:masters"\n')
    return made


def write_kubeconfig(path: Path, *, server: str, ca: Path, user: str, token: str, namespace: str) -> Path:
    """Write a kubeconfig file for one user with a bearer token, readable by its owner only."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [
            {"name": "local", "context": {"cluster": "local", "user": user, "namespace": namespace}}
        ],
        "current-context": "local",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1) + "\n")  # JSON is YAML
    return path
