"""What runs off the queue, and what service and workers share: protocol, settings, store, broker."""
