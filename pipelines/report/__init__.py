"""The report: static pages that draw the published file, and the pictures made from them. Computes no metric."""
