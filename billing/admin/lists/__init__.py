"""What every list of the admin can: pages without counting all, searches by index, ranges of days, totals, CSV."""
