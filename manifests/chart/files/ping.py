"""The command of `helm test`: sends a ping through the Service, as ACR's button does, and reads the answer.

Usage: ping.py URL-OF-THE-SERVICE SECONDS. It tries for so long, since Pods may just be starting.

A receiver's path is a credential, so it is never printed. Where no receiver is served yet, the ping goes to a
path that nobody has: the receiver answers 404 with a header that Kargo's own server does not send.
"""

import http.client
import json
import ssl
import subprocess
import sys
import time
from urllib.parse import urlsplit

NOBODY = f"/azure/{'0' * 64}"
PAUSE = 2.0  # seconds


def served_receiver() -> tuple[str, str]:
    """Name and path of one receiver; no name and nobody's path if there is none, or none can be read."""
    command = ["kargo-azure-receiver", "urls", "-o", "json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        rows = [row for row in json.loads(listed.stdout) if row["url"] and not row["problem"]]
    except (ValueError, KeyError, TypeError):
        print(f"receivers can't be listed: {listed.stderr.strip()}")
        rows = []
    if not rows:
        return "", NOBODY
    return f"{rows[0]['namespace']}/{rows[0]['receiver']}", urlsplit(rows[0]["url"]).path


def ping(service: str, path: str) -> tuple[int, str, bool]:
    """POST a ping; return status, body, and whether it was this receiver that answered."""
    place = urlsplit(service)
    if place.scheme == "https":
        # The certificate may be for the public host only, and is not what is tested.
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(place.netloc, timeout=10, context=trust)
    else:
        connection = http.client.HTTPConnection(place.netloc, timeout=10)
    try:
        connection.request("POST", path, json.dumps({"action": "ping"}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("X-Delivery-Id") is not None
    finally:
        connection.close()


def attempt(service: str) -> tuple[bool, str]:
    """Ping once; return whether it is as it should be, and what to say."""
    name, path = served_receiver()
    try:
        status, body, ours = ping(service, path)
    except (OSError, http.client.HTTPException) as error:
        return False, f"{service} does not answer: {error}"
    if not ours:
        return False, f"{service} answers {status}, but not as this receiver does"
    if not name:
        return status == 404, f"no receiver is served yet; a path that nobody has is answered {status}"
    if status == 401:
        return True, f"receiver {name} demands its second factor: it answers {status}"
    return status == 200, f"receiver {name} answers {status} {body}"


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
