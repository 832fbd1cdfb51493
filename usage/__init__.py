"""What was used: metering, the audit log, reconciliation."""
