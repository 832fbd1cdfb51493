"""The door for agents: the Model Context Protocol at /api/v1/mcp, behind the gateway."""
