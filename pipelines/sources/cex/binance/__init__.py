"""Binance's public interface."""
