"""Look at all that a site needs, one line each: what `manage.py doctor` prints."""

from billing_site.operations.doctor.examination import Examination, examine
from billing_site.operations.doctor.finding import Finding, State

__all__ = ["Examination", "Finding", "State", "examine"]
