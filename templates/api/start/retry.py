import os
import time
import uuid

import requests

session = requests.Session()
session.headers["Authorization"] = "Bearer " + os.environ["KEY"]


def call(method, path, tries=5, **sent):
    """Send a request, and send it again when the answer says after how many seconds."""
    sent["headers"] = {"Idempotency-Key": str(uuid.uuid4())}  # so that sending it again charges nothing twice
    for _ in range(tries):
        response = session.request(method, os.environ["BASE"] + path, timeout=30, **sent)
        wait = response.headers.get("Retry-After")
        if wait is None:  # it is served; or waiting does not help, or not soon
            break
        time.sleep(int(wait))
    return response


response = call("POST", "/api/v1/usage/check", json={"feature": "trace_start"})
print(response.status_code, response.text)
