/** `sandwarden --help`: plain text, which loads nothing. test/cli/command-line.test.ts holds it to the commands. */
export const topHelp = `Keeps the pod sandboxes of a Kubernetes node healthy: finds what blocks pods
after a power cut, says why, and mends exactly that.

usage: sandwarden COMMAND [OPTION]...

  check        say what is wrong with the pod sandboxes of this node, and why
  heal         mend exactly what blocks the pods, after showing the plan
  explain      tell all about one finding, or about one pod
  cgroups      show the pods' part of the cgroup tree, and what is missing in it
  watch        show live who takes controllers away, or that the kernel stalls
  fleet        say which nodes of the cluster are in trouble, and with what
  anchor       hold the slices of pods, so that no controller is taken away
  findings     list everything that can be found
  snapshot     write the node down as a file, for a bug report
  incident     tell what happened on this node, boot by boot, and what fed what
  history      list what was done here, when, why, and how it ended
  boot-report  tell how this boot went, what was wrong and what was done
  install      heal each boot after a power cut, before kubelet starts
  uninstall    take away what install wrote, and nothing else
  status       tell whether the boot hook is installed, ran, and what it did
  demo         watch a power cut being found and healed, on an embedded node
  completion   print the completion script of a shell

  sandwarden COMMAND --help tells more, with examples; so does --node --help.

Examples:
  sandwarden check                 What is wrong here? Changes nothing.
  sandwarden heal                  Shows the plan, asks, mends, watches.
  sandwarden explain SW102         What does this code mean?
  sandwarden --node NAME check     On a node without SSH, by a debug pod.

Exit codes: 0 healthy, 10 warnings only, 20 errors found, 30 healing incomplete,
64 wrong usage, 69 nothing could be observed, 70 a bug of Sandwarden,
77 permission denied, 130 interrupted.
`;
