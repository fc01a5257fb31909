"""The default sandbox: Linux namespaces, or Landlock and seccomp where those are closed."""
