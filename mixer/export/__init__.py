"""Write a mix in the formats of other trainers."""
