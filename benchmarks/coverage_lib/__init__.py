"""Every model class of the installed Transformers, built small, run, patched and compared.

It lies beside the benchmark that publishes its numbers; the tests import the same code for their subset, so that
the fast check and the published table cannot drift apart.
"""
