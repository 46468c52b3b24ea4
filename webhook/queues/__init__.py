"""Azure Storage Queues: messages are pulled, and take the same way as requests from the endpoint on."""
