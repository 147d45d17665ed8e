"""The retailCRM wire protocol, without Django."""
