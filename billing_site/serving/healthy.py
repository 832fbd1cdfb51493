"""Whether the web server beside this process serves: exit code 0 or 1, for a container's health check.

    python billing_site/serving/healthy.py [PORT]

It asks as a client would who names the site's own host, since other names are refused. It imports nothing of the site.
"""

import http.client
import os
import sys

SECONDS = 4


def main() -> int:
    name = (os.environ.get("ALLOWED_HOSTS") or "localhost").split(",")[0].strip().lstrip(".").replace("*", "localhost")
    asked = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000, timeout=SECONDS)
    try:
        asked.request("GET", "/health", headers={"Host": name})
        answer = asked.getresponse()
        print(answer.read().decode())
        return int(answer.status != 200)
    except (OSError, http.client.HTTPException) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
