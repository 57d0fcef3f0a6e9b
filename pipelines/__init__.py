"""Text in, clean text out: sources, filters, dedup, and the execution, files and receipts every stage stands on."""
