"""Programs that measure and break the site: bench, chaos, simulator, soak."""
