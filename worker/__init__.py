"""The workers: the Celery app that hears the doorbell, the supervisor of one trainer, the trainer, the reconciler."""
