"""What a build would read, take and need, estimated from a sample before it starts."""
