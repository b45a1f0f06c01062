"""The engine that attacks and judges, and what attacks share."""
