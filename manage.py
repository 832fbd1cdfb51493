#!/usr/bin/env python3
"""Django's command line for this project; it finds the engines of a running `make run` by itself."""

import os
import sys


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")
    try:
        from billing_site.local.commandline import execute
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "billing_site":
            raise
        print(
            "manage.py: the libraries are missing; use .venv/bin/python manage.py (made by make run)", file=sys.stderr
        )
        return 1
    return execute(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
