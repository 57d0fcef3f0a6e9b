"""The HTML report about a mix."""
