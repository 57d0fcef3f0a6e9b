"""The HTML report on a mix."""
