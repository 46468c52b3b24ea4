"""The command of `helm test`: sends a ping through the Service, as ACR's button does, and reads the answer.

Usage: ping.py URL-OF-THE-SERVICE SECONDS. It tries for so long, since Pods may just be starting.

A receiver's URL is a credential, so it is never printed. Where no receiver is served yet, the ping goes to a
path that nobody has: the receiver answers 404 with a header that Kargo's own server does not send.
"""

import json
import subprocess
import sys
import time

NOBODY = f"http://nobody/azure/{'0' * 64}"
PAUSE = 2.0  # seconds


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the receiver's own program; what it prints is JSON."""
    command = ["kargo-azure-receiver", *arguments, "-o", "json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def served_receiver() -> str:
    """The name of one receiver; empty if there is none, or none can be read."""
    listed = run("urls")
    try:
        rows = [row for row in json.loads(listed.stdout) if row["url"] and not row["problem"]]
    except (ValueError, KeyError, TypeError):
        print(f"receivers can't be listed: {listed.stderr.strip()}")
        rows = []
    return f"{rows[0]['namespace']}/{rows[0]['receiver']}" if rows else ""


def attempt(service: str) -> tuple[bool, str]:
    """Ping once; return whether it is as it should be, and what to say."""
    name = served_receiver()
    receiver = f"--receiver={name}" if name else f"--url={NOBODY}"
    # The certificate may be for the public host only, and is not what is tested.
    sent = run("send", "ping", receiver, f"--to={service}", "--insecure-skip-tls-verify")
    if not sent.stdout:
        return False, sent.stderr.strip()
    answer = json.loads(sent.stdout)
    status = answer["status"]
    if not answer["delivery"]:
        return False, f"{service} answers {status}, but not as this receiver does"
    if not name:
        return status == 404, f"no receiver is served yet; a path that nobody has is answered {status}"
    return status == 200, f"receiver {name} answers {status} {answer['answer']}"


def main() -> int:
    """Try until it is well or the time is up."""
    service, seconds = sys.argv[1:]
    deadline = time.monotonic() + float(seconds)
    while True:
        well, line = attempt(service)
        if well or time.monotonic() > deadline:
            print(line)
            return 0 if well else 1
        time.sleep(PAUSE)


if __name__ == "__main__":
    sys.exit(main())
