"""The HTTP service. Knows no torch: music and mathematics happen in the workers."""
