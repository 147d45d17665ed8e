"""The bottom layer: HTTP, queue, rate limits, formats. Imports no other app of ours."""
