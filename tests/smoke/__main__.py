"""BASE=https://… KEY=… python -m tests.smoke [--write]"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from tests.smoke import reading, writing
from tests.smoke.site import Failed, Site, Skipped

Check = Callable[[Site], str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.smoke", description="Look at a running site from outside.")
    parser.add_argument("base", nargs="?", default=os.environ.get("BASE", ""), help="default: the variable BASE")
    parser.add_argument("--write", action="store_true", help="also track one call, which costs its feature's tokens")
    options = parser.parse_args()
    key = os.environ.get("KEY", "")
    if not options.base or not key:
        parser.error("set BASE to where the site is, and KEY to an API key of an account made for this")
    site, failed, skipped = Site(options.base, key), 0, 0
    checks: list[Check] = [*reading.CHECKS, *([writing.track] if options.write else [])]
    for check in checks:
        try:
            word, said = "ok", check(site)
        except Skipped as why:
            word, said, skipped = "skip", str(why), skipped + 1
        except Failed as why:
            word, said, failed = "FAIL", str(why), failed + 1
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            word, said, failed = "FAIL", f"the answer has another shape: {error!r}", failed + 1
        print(f"{word:4}  {check.__name__.replace('_', ' '):13}  {said}", flush=True)
    print(f"{len(checks) - failed - skipped} ok, {skipped} skipped, {failed} failed: {site.base}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
