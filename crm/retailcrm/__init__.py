"""The retailCRM wire, without Django: readable with only the vendor's documentation at hand."""
