"""What crosses a boundary: requests, replies, events. Pydantic models and their canonical encodings, nothing that acts."""
