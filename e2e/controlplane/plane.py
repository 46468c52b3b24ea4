"""A real Kubernetes control plane on this machine: etcd and kube-apiserver, with kubectl to talk to them.

There is no controller-manager and no scheduler: nothing makes Pods or default ServiceAccounts, and a deleted
namespace stays (give each test a namespace of its own).
"""

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.controlplane import credentials
from e2e.controlplane.api import Api
from e2e.controlplane.binaries import Binaries, Say
from e2e.controlplane.build import ensure
from e2e.controlplane.errors import CommandError, ControlPlaneError
from e2e.controlplane.ports import HOST, free_ports, require_free
from e2e.controlplane.process import Process

START_LIMIT = 90.0
"""Seconds until a start counts as failed; on two busy cores it takes 4 to 10."""

_ATTEMPTS = 3  # a free port may be taken between looking and listening
_TAKEN = "address already in use"


class ControlPlane:
    """etcd and kube-apiserver on 127.0.0.1, with data, certificates and logs in a folder of their own.

    ``port`` 0 chooses a free one. Without ``folder`` a temporary one is made, and removed by ``stop``. The
    API server keeps port, certificates and data when it is killed and started again. Also a context manager.
    """

    def __init__(
        self,
        *,
        binaries: Binaries | None = None,
        folder: Path | None = None,
        port: int = 0,
        apiserver_flags: Sequence[str] = (),
        etcd_flags: Sequence[str] = (),
        say: Say = print,
    ) -> None:
        self.binaries = binaries or ensure(say)
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="kargo-control-plane-"))
        self._fixed_port = port
        self._apiserver_flags = list(apiserver_flags)
        self._etcd_flags = list(etcd_flags)
        self._credentials: credentials.Credentials | None = None
        self.port = port
        self.etcd = Process("etcd", [], log=self.folder / "etcd.log")
        self.apiserver = Process("kube-apiserver", [], log=self.folder / "kube-apiserver.log")
        self._api: Api | None = None

    # -- start and stop

    def start(self) -> Self:
        """Start both and wait until they are ready; raises ControlPlaneError with the end of a log if not."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise ControlPlaneError(f"{self.folder} is not empty")
            if self._fixed_port:
                require_free(self._fixed_port, "the API server", "choose another one")
            self._credentials = credentials.create(self.folder / "pki")
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._start_once()
                    break
                except ControlPlaneError:
                    self._kill_both()
                    log = self.etcd.output() + self.apiserver.output()
                    if attempt == _ATTEMPTS or self._fixed_port or _TAKEN not in log:
                        raise
            credentials.write_kubeconfig(
                self.kubeconfig,
                server=self.url,
                ca=self.ca,
                user="admin",
                token=self._made.admin_token,
                namespace="default",
            )
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill both (the data is temporary: nothing to close in order) and remove a temporary folder."""
        if self._api is not None:
            self._api.close()
        self._kill_both()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill_apiserver(self) -> None:
        """End the API server with ``kill -9``; etcd goes on."""
        self.apiserver.kill()

    def start_apiserver(self) -> None:
        """Start a killed API server again, on the same port and data, and wait until it is ready."""
        self.apiserver.start()
        self._wait_ready()

    def pause(self) -> None:
        """Freeze the API server: connections are accepted by the kernel and nobody answers."""
        self.apiserver.pause()

    def resume(self) -> None:
        """Let a frozen API server go on."""
        self.apiserver.resume()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- use

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"https://{HOST}:{self.port}"

    @property
    def ca(self) -> Path:
        """The CA that clients verify the API server's certificate with."""
        return self._made.ca

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig file."""
        return self.folder / "admin.kubeconfig"

    @property
    def api(self) -> Api:
        """Requests as the administrator."""
        if self._api is None:
            self._api = Api(self.port, self.ca, self._made.admin_token)
        return self._api

    def kubectl(self, *arguments: str, stdin: str | None = None, limit: float = 60.0) -> str:
        """Run kubectl as the administrator and return what it prints; raises CommandError if it fails."""
        command = [str(self.binaries.kubectl), "--kubeconfig", str(self.kubeconfig)]
        # Ports are used again by other clusters: what kubectl remembers of them must not stay in ~/.kube.
        command += ["--cache-dir", str(self.folder / "kubectl"), *arguments]
        try:
            done = subprocess.run(
                command, input=stdin or "", capture_output=True, text=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"kubectl {' '.join(arguments)}: no end within {limit:g} s") from error
        if done.returncode != 0:
            raise CommandError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def apply(self, source: Path | str) -> str:
        """``kubectl apply`` a file, a folder, or YAML given as text."""
        if isinstance(source, Path):
            return self.kubectl("apply", "-f", str(source))
        return self.kubectl("apply", "-f", "-", stdin=source)

    def kubeconfig_for(self, service_account: str, namespace: str, *, hours: int = 24) -> Path:
        """Write a kubeconfig with a new token of a ServiceAccount, and return its path."""
        token = self.token(service_account, namespace, hours=hours)
        path = self.folder / f"{namespace}.{service_account}.kubeconfig"
        return credentials.write_kubeconfig(
            path,
            server=self.url,
            ca=self.ca,
            user=f"system:serviceaccount:{namespace}:{service_account}",
            token=token,
            namespace=namespace,
        )

    def token(self, service_account: str, namespace: str, *, hours: int = 24) -> str:
        """Ask for a token of a ServiceAccount, as the kubelet does for a Pod."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        answer = self.api.create(path, {"spec": {"expirationSeconds": hours * 3600}})
        return str(answer["status"]["token"])

    # -- inside

    @property
    def _made(self) -> credentials.Credentials:
        if self._credentials is None:
            raise ControlPlaneError("the control plane was not started")
        return self._credentials

    def _start_once(self) -> None:
        etcd_port, peer_port, free = free_ports(3)
        self.port = self._fixed_port or free
        self.etcd.command = self._etcd_command(f"http://{HOST}:{etcd_port}", f"http://{HOST}:{peer_port}")
        self.apiserver.command = self._apiserver_command(f"http://{HOST}:{etcd_port}")
        self.etcd.start()
        self.apiserver.start()  # it waits for etcd by itself
        self._wait_ready()

    def _etcd_command(self, client: str, peer: str) -> list[str]:
        return [
            str(self.binaries.etcd),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync=true",  # the data need not outlive the machine
            f"--quota-backend-bytes={8 * 1024**3}",  # the default 2 GiB is little for 100,000 Warehouses
            "--log-level=warn",
            *self._etcd_flags,
        ]

    def _apiserver_command(self, etcd: str) -> list[str]:
        made = self._made
        return [
            str(self.binaries.apiserver),
            f"--etcd-servers={etcd}",
            f"--bind-address={HOST}",
            f"--advertise-address={HOST}",  # else it ends on a machine that has no default route
            f"--secure-port={self.port}",
            f"--cert-dir={made.folder}",
            f"--tls-cert-file={made.certificate}",
            f"--tls-private-key-file={made.key}",
            f"--token-auth-file={made.tokens}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={made.service_account_key}",
            f"--service-account-signing-key-file={made.service_account_key}",
            "--service-cluster-ip-range=10.0.0.0/24",  # its first address: credentials.SERVICE_ADDRESS
            "--authorization-mode=RBAC",
            "--endpoint-reconciler-type=none",  # nobody reaches it by its Service
            *self._apiserver_flags,
        ]

    def _wait_ready(self) -> None:
        """Wait for /readyz, which includes the RBAC roles that the API server makes at its first start."""
        deadline = time.monotonic() + START_LIMIT
        with contextlib.closing(Api(self.port, self.ca, self._made.admin_token)) as api:
            while time.monotonic() < deadline:
                for process in (self.etcd, self.apiserver):
                    if not process.running:
                        raise ControlPlaneError(
                            f"{process.name} ended with {process.exit_code}:{process.last_lines()}"
                        )
                with contextlib.suppress(OSError, ControlPlaneError, json.JSONDecodeError):
                    api.get("/readyz")
                    return
                time.sleep(0.05)
        raise ControlPlaneError(
            f"the API server was not ready within {START_LIMIT:g} s:{self.apiserver.last_lines()}"
        )

    def _kill_both(self) -> None:
        for process in (self.apiserver, self.etcd):
            process.kill()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)
