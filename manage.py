#!/usr/bin/env python3
"""Django's command line for this project; it finds the engines of a running `make run` by itself."""

import os
import sys


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")
    try:
        import django  # noqa: F401
    except ModuleNotFoundError:
        print(
            "manage.py: Django is not installed here; use .venv/bin/python manage.py (made by make run)",
            file=sys.stderr,
        )
        return 1
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
