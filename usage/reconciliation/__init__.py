"""Whether the places that hold usage agree, and how they are put right: also where both charged one request."""
