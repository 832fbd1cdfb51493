"""Dates and values: periods, money, proration, what a plan allows. Pure: no Django, no engine."""
