"""A provider of models on this machine that speaks OpenAI's chat completions, and does on demand what providers do.

`python -m tests.servers.openai PORT` runs it; tests have it from `running`.
"""
