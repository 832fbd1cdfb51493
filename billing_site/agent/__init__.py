"""The sandbox's agent: a chat in OpenAI's shape that reserves before it answers and is charged by its real units.

`views` is the door. `model` answers by itself, or `upstream` asks an OpenAI-compatible address; both are an `Answer`.
`reserved` holds the tokens while the answer goes out. A host product's own agent would be built like this.
"""
