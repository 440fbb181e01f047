"""The read side of the Hugging Face Hub's HTTP API, so that its clients download from here."""
