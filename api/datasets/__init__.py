"""Datasets: uploads of labelled text, validated once and kept as Parquet."""
