"""Run the test provider until it is ended: `python -m tests.servers.openai PORT`."""

from __future__ import annotations

import sys

from tests.servers.openai.provider import Provider

if __name__ == "__main__":
    provider = Provider(int(sys.argv[1]))
    print(f"provider of models for tests at http://127.0.0.1:{provider.server_port}/v1", flush=True)
    provider.serve_forever()
