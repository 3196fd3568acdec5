/**
 * Every limit of Sandwarden, in one place. Durations are milliseconds (`Ms`), sizes are bytes (`Bytes`).
 * A limit that follows somebody else's number says whose.
 */
export const limits = {
  /** Deadline of a CRI read (Version, Status, List…, …Status). kubelet's own is 2 min; a person waits less. */
  criReadTimeoutMs: 10_000,
  /** The longest deadline that --timeout may ask for. */
  criReadLongestMs: 3 * 3_600_000,
  /**
   * Deadline of StopPodSandbox and RemovePodSandbox: kubelet's runtimeRequestTimeout (2 min). crictl's 2 s is too short
   * for CNI DEL.
   */
  criWriteTimeoutMs: 120_000,
  /** Deadline of the connection to a socket. */
  connectTimeoutMs: 3_000,
  /** Deadline of the Version that tells whether one of several live sockets speaks CRI; one that hangs may. */
  endpointProbeTimeoutMs: 3_000,
  /** Largest answer taken from a CRI socket: 10,000 sandboxes with their annotations fit in a tenth of it. */
  criMessageBytes: 64 * 1024 * 1024,
  /** Reads of single sandboxes and containers in flight at once. */
  criReadsInFlight: 8,

  /** safety.md, 1: a sandbox is NotReady in two listings at least this far apart. */
  confirmAfterMs: 10_000,
  /**
   * safety.md, 6: kubelet's own deadline of RunPodSandbox, 2 × runtimeRequestTimeout (cri-client remote_runtime.go).
   */
  runPodSandboxTimeoutMs: 240_000,
  /**
   * A RunPodSandbox that is open for less than this may be over in the next moment, refused or done: worth another
   * look before a removal is left out for it. One that waits for CNI takes longer.
   */
  youngRequestMs: 10_000,
  /** How often one looks again for something that passes by itself, and how long after the look before. */
  passingLooks: 3,
  passingGapMs: 2_000,
  /**
   * kubelet repeats a failed sync after 10–15 s (pod_workers.go completeWork) and a good one after 60–90 s: an error
   * older than this is over.
   */
  errorCurrentForMs: 150_000,
  /**
   * A refusal that still goes on has been repeated within this time: one retry of 15 s, and slack for a loaded node.
   */
  refusalRepeatsWithinMs: 45_000,
  /** kubelet's garbage collection runs each minute (ContainerGCPeriod); two cycles and some slack. */
  garbageOverdueMs: 150_000,
  /** A clock that differs by less than this is not "behind": ext4 commits every 5 s, a boot takes its time. */
  clockSlackMs: 30_000,
  /** A creation date this far before or after its neighbours is not explained by jitter of the clock. */
  futureSlackMs: 2_000,

  /** safety.md, budgets. */
  removalsInFlight: 4,
  /** How many acts are read again and written down for each that may be under way; those wait for their turn. */
  preparedPerAct: 10,
  removalsPerRun: 200,
  removalsShareOfNode: 0.5,
  attemptsPerObject: 3,
  runtimeRestartEveryMs: 30 * 60_000,
  runtimeRestartsPerDay: 3,

  /** SW702: a read slower than this is worth a warning, and slower than `criVerySlowMs` an error. */
  criSlowMs: 2_000,
  criVerySlowMs: 8_000,

  /** Deadline of one read of the Kubernetes API, all pages of a list together: ghosts may be what keeps it down. */
  kubeRequestTimeoutMs: 3_000,
  /** Deadline of one write to the Kubernetes API: admission webhooks may take 10 s each (their default deadline). */
  kubeWriteTimeoutMs: 30_000,
  /** Bytes of one message to a container's stdin. */
  kubeAttachBytes: 32 * 1024,
  /** `--node --copy`: how long packing, and the way of the program to the node, may take. */
  nodeCopyMs: 300_000,
  /** `--node`: deadline of one answer of the API. */
  nodeAnswerMs: 10_000,
  /** A debug pod that has not started within this time will not: its sandbox takes seconds where all is well. */
  nodePodStartMs: 60_000,
  /** kubelet ends a debug pod after this time, whatever became of who made it. */
  nodePodMs: 3_600_000,
  /** What a program in a debug pod gets to end in good order: heal finishes the step in hand (interruptGraceMs). */
  nodePodGraceMs: 30_000,
  /** Images on the node that are tried for a debug pod. */
  nodeImages: 3,
  /** A log that breaks off is taken up again this often in a row, after this time at first and at most. */
  nodeLogTries: 5,
  nodeLogAgainMs: 500,
  nodeLogAgainMostMs: 10_000,
  /** `fleet`: deadline of each list with all its pages; pods on a page of a table (200 bytes each). */
  fleetTimeoutMs: 60_000,
  /** `fleet` at a terminal: after this time without an answer it says whom it waits for. */
  fleetSilentMs: 3_000,
  fleetPageItems: 5_000,
  /** Pods that share their name with another one on their node, whose namespaces are asked for. */
  fleetTwins: 20,
  /** A node whose lease (renewed each 10 s) is older than this is frozen or cut off. */
  fleetHeartbeatMs: 40_000,
  /** An event that repeats is written again after 5 min at the latest (client-go's spam filter). */
  fleetEventMs: 6 * 60_000,
  /** A pod younger than this is starting. */
  fleetYoungMs: 120_000,
  /** A sandbox that was made anew this often within the hour that events are kept. */
  fleetSandboxChanges: 3,
  /** CSI plugins, and states of pods, that are named for one node; and nodes that fill one screen. */
  fleetNames: 4,
  fleetRows: 20,
  /** An exec plugin of a kubeconfig (aws, gke-gcloud-auth-plugin) that prints nothing within this time is ended. */
  kubeExecMs: 30_000,
  /** How often one request is sent where the server says when to try again (429 and Retry-After). */
  kubeTries: 4,
  /**
   * A watch is ended by the server after this time or up to twice of it, so that not all come back at once; client-go's
   * own is 5 to 10 min.
   */
  kubeWatchMs: 300_000,
  /** A server that has not ended a watch this long after it should have is gone. */
  kubeWatchSlackMs: 30_000,
  /** How long a watch waits before it goes on: the first time, and at most; client-go's is 0.8 to 30 s. */
  kubeWatchBackOffMs: 800,
  kubeWatchBackOffMaxMs: 30_000,
  /** Largest event of a watch; etcd takes objects of 1.5 MiB at most. */
  kubeWatchEventBytes: 8 * 1024 * 1024,
  /** Of several addresses of the API server, the next is tried after this time; Node's 250 ms are too few. */
  kubeConnectAttemptMs: 1_000,
  /** An API that could not be reached is asked again after this time: healing looks each second and must not wait. */
  kubeAskAgainAfterMs: 30_000,
  /** Largest answer taken from the API: 500 pods (a page) with their managedFields are a fifth of it. */
  kubeResponseBytes: 64 * 1024 * 1024,
  /** Objects on a page, as kubectl's --chunk-size, and pages of one list: 50,000 objects. */
  kubePageItems: 500,
  kubeListPages: 100,

  /** CSI: deadline of GetPluginInfo and Probe together; kubernetes-csi/livenessprobe's own is 1–3 s. */
  csiProbeTimeoutMs: 3_000,
  csiMessageBytes: 1024 * 1024,
  /** Sockets in kubelet's plugin folders that are looked at, and of those at once. */
  csiSockets: 128,
  csiProbesInFlight: 8,
  /** A container that ended this soon after its driver's socket came may still have ended for want of it. */
  csiCrashSlackMs: 2_000,
  /** A driver whose node plugin is rolled out has no pod for some seconds: its DaemonSet makes the next one. */
  csiUnservedForMs: 30_000,
  /** A VolumeAttachment that is not attached, or is being deleted, for longer than this is stuck. */
  attachmentStuckMs: 5 * 60_000,
  /** safety.md, budgets: deletions through the API and of sockets within an hour. */
  deletionsPerHour: 10,
  /** How long healing waits for a driver's socket, and for all of CSI to be green; and how often it looks. */
  csiWaitMs: 180_000,
  csiPollMs: 2_000,
  /** Argo CD's Applications, each with all its resources, are listed no more often than this. */
  applicationsPollMs: 10_000,

  /** How long healing waits for the pods to recover before it says what is still red. */
  verifyTimeoutMs: 120_000,
  verifyPollMs: 1_000,

  /** Child processes (journalctl, systemctl …). */
  childTimeoutMs: 15_000,
  /** kubelet's own binary, asked for its version. */
  versionTimeoutMs: 5_000,
  /** `containerd config dump` before a restart hangs on it: a board that is out of breath takes its time. */
  configTryTimeoutMs: 45_000,
  childOutputBytes: 64 * 1024 * 1024,
  /** What a program says beside its output; of more, the beginning and the end are kept. */
  childErrorChars: 64 * 1024,
  /** Lines of kubelet's and the runtime's journal looked at in one check. */
  journalLines: 20_000,
  /** How far back a check reads the journal of this boot. */
  journalSinceMs: 30 * 60_000,
  /** A journal line longer than this is cut before it is parsed. */
  journalLineBytes: 64 * 1024,
  /** A journal record with all its fields; a message that is no UTF-8 is written as numbers, four characters a byte. */
  journalRecordBytes: 1024 * 1024,
  /** Different things one log may tell of; what comes after is not kept. */
  logRecords: 5_000,
  /**
   * Log lines this close tell of one failure: kubelet logs one three or four times within 15 ms, and retries after 600
   * ms or more.
   */
  sameFailureMs: 300,

  /** A snapshot file larger than this is refused. */
  snapshotBytes: 256 * 1024 * 1024,
  /** A configuration file (crictl.yaml …) larger than this is refused. */
  configBytes: 1024 * 1024,
  /** Files of one configuration with all that it imports. */
  configFiles: 200,
  /** One entry of our own journal. */
  journalEntryBytes: 64 * 1024,
  /** Our journal is turned over at this size; the generation before it is kept and read too. */
  journalBytes: 8 * 1024 * 1024,
  /** Sandboxes of the same pod that a finding names beside the one that it is about; a pod can leave thousands. */
  evidenceSiblings: 10,
  /** A text of others (an error, a reason) in an entry of our journal is cut at this length. */
  journalTextLength: 1_000,
  /** A disk that does not confirm a journal entry within this time is a reason not to act. */
  journalSyncTimeoutMs: 60_000,
  /** While acts are under way, listings for those who act follow each other no faster: hundreds share them. */
  listingGapMs: 100,
  /** What was read before an act and is older than this when the act may begin is read again. */
  guardFreshMs: 1_000,
  /** A scan of all processes is good for this long; what it found is looked at again each time. */
  identityFreshMs: 1_000,
  /** Deadline of a whole look, and of a restart of the runtime until CRI answers. */
  lookTimeoutMs: 60_000,
  restartTimeoutMs: 180_000,
  /** systemd calls a simple service started before its process has its name; then it has this long to be seen. */
  kubeletSeenTimeoutMs: 30_000,
  /** Deadline of writing a few files and of asking containerd and systemd whether they take them. */
  filesTimeoutMs: 60_000,
  /** After Ctrl-C, how long a call that is under way is waited for. */
  interruptGraceMs: 15_000,
  /** How often the lock is tried again when somebody else moves it at the same time. */
  lockTries: 16,

  /** Boot: two families of witnesses this close tell of one moment (the heartbeat comes each 5 minutes). */
  clockAgreeMs: 15 * 60_000,
  /**
   * Boot: a clock that has been set since it lost its power is moved forward at most this far; boot.conf can say less.
   */
  clockForwardDays: 30,
  /** Boot: a clock that was never set (before this version was made) is moved at most this far after its epoch. */
  clockNeverSetYears: 20,
  /** Boot: how long a time synchronisation that is set up is waited for, and how often it is looked for. */
  timeSyncWaitMs: 5_000,
  timeSyncPollMs: 250,
  /** Boot: how many folders of sandboxes and files of the journal are looked at as witnesses. */
  clockWitnesses: 10_000,
  /**
   * Boot healing before kubelet, all of it; the unit's own limit (90 s) is longer by interruptGraceMs and some slack.
   */
  bootHealMs: 60_000,
  /**
   * Before kubelet: how long removals wait for the pod network. Where a pod brings the CNI plugin it comes only after.
   */
  bootNetworkMs: 10_000,
  /**
   * Boot healing after kubelet's start: how long it watches, and how long kubelet must have run in peace. Between two
   * looks it waits 5 s and then twice as long each time, up to the second where something blocks a pod, else the third.
   */
  bootWatchMs: 300_000,
  bootWatchPollMs: 5_000,
  bootWatchBlockedMs: 10_000,
  bootWatchMaxMs: 40_000,
  bootSettledMs: 90_000,
  /** An unclean boot is told to the cluster within this time after kubelet's start; asked at growing distances. */
  publishMs: 600_000,
  publishPollMs: 5_000,
  publishMaxPollMs: 60_000,
  /** How often CRI is asked whether it serves yet. */
  bootPollMs: 250,
  /** A temporary containerd ends within this time after SIGTERM, or gets SIGKILL: k3s waits for its lock. */
  containerdStopMs: 10_000,
  /** This many unclean boots within this time: the boot hook only reports, since it may be part of the loop. */
  rebootLoopBoots: 3,
  rebootLoopMs: 60 * 60_000,
  /** Pods count as "back after the boot" when their sandbox was made within this time after it. */
  bootWindowMs: 15 * 60_000,

  /** Units and drop-ins that are looked at, and bytes of a unit or of a script it runs. */
  unitFiles: 4_000,
  unitFileBytes: 256 * 1024,

  /** Cgroups of pods looked into one by one, directories searched for stray ones, and strays and processes told of. */
  cgroupPodsInDetail: 2_000,
  cgroupSearched: 256,
  cgroupOdd: 256,
  cgroupProcesses: 64,
  /** Scopes of neighbours that are named as what holds a slice up. */
  cgroupHolders: 4,
  /** Largest message taken from the system bus: all properties of a unit are 30 KiB. */
  dbusMessageBytes: 16 * 1024 * 1024,
  /** D-Bus specification, "Valid signatures". */
  dbusSignatureLength: 255,
  /** Deadline of a call to systemd: it answers all but Reload at once, also where a job takes longer. */
  systemdCallTimeoutMs: 10_000,
  /** Deadline of systemctl where it makes a call for each of hundreds of units. */
  systemdCallsTimeoutMs: 40_000,
  /** Deadline of a job of systemd (a unit starts or stops), and of a reload: systemd's own default for a job. */
  systemdJobTimeoutMs: 90_000,
  /** Where there is no bus: how often systemctl is asked whether the scope is there. */
  systemdPollMs: 50,
  /** Our units that are listed. */
  anchors: 2_000,
  /** systemctl is asked for this many units at once: a command line has room for them. */
  cgroupUnitsAsked: 500,
  /** kubelet looks at a pod's cgroup in each sync: resync of one minute, with jitter up to half of it (kubelet.go). */
  podResyncMs: 90_000,
  /** A container that kubelet stops this soon after it saw a changed sandbox was stopped because of that. */
  changeStopsWithinMs: 2_000,
  /** kubelet sees a stopped sandbox within this time after the grace period of its containers (PLEG relists each s). */
  stopSeenWithinMs: 15_000,
  /** A cgroup that a sandbox younger than this does not have may have been made since. */
  cgroupSettleMs: 10_000,
  /** A kubelet that has run for this long has got past the cgroups that it looks at in its start. */
  kubeletStartedMs: 30_000,
  /** What kubelet did to a pod counts as going on within this time: three resyncs. */
  killsCurrentForMs: 270_000,

  /** A watch of controllers reads fanotify in pieces of this size (170 events), so many before others get a turn. */
  watchReadBytes: 4_096,
  watchReadsAtOnce: 64,
  /** Changes and writers that a watch keeps; later ones are told of and not kept. */
  watchChanges: 10_000,
  watchWriters: 2_000,
  /**
   * A write this shortly before another one may have provoked it (recorded: systemd writes 3 to 150 ms after kubelet),
   * and of how many processes it is kept.
   */
  watchProvokedMs: 2_000,
  watchRecentWriters: 8,
  /** A watch that is told how long lasts at most this long: what a timer holds, less a day. */
  watchForMs: 23 * 24 * 3_600_000,
  /** A watch begins without the names of pods where the runtime does not tell them within this time. */
  watchNamesWaitMs: 1_000,
  /** The pods are listed again for a name that is not known yet, at most so often. */
  watchNamesEveryMs: 5_000,

  /** SW401: a container that was made this often crash-loops, and did so within this time. */
  loopCreations: 3,
  /** CRI's events: containerd begins to send within this time, and pauses for less than the second. */
  eventsBeginMs: 40,
  eventsQuietMs: 20,
  containerEvents: 20_000,
  loopCurrentForMs: 600_000,
  /**
   * SW401: crash loops are a storm from this rate on, all together, and from this many times what else is created. A
   * container that ends at once is made 5 times in its first 5 minutes and once in 5 minutes at the end (kubelet's
   * back-off), so this is three pods that have just begun, or fifteen that sit in their longest back-off.
   */
  stormPerMinute: 3,
  stormTimesNormal: 3,
  /** SW401: in this time after the start of the kernel all pods are made, which is no normal. */
  stormStartMs: 600_000,
  /** SW402: stalls count as going on for this long, and a single one is no pattern yet. */
  stallsCurrentForMs: 3_600_000,
  stallsWorthWarning: 3,

  /** incident: how far back it looks without --since, and the most that --since may ask for. */
  incidentSinceMs: 3 * 86_400_000,
  incidentLongestMs: 90 * 86_400_000,
  /** incident: a boot of another machine that ends so far in the future of this clock had a wrong one. */
  incidentAheadMs: 86_400_000,
  /** incident: deadline and size of the journal that is read; 10 million lines are 6 GiB as JSON. */
  incidentReadMs: 15 * 60_000,
  incidentBytes: 32 * 1024 * 1024 * 1024,
  /** incident: boots that are looked at, and hours of one boot with counts of their own. */
  incidentBoots: 500,
  incidentHours: 24 * 90,
  /** incident: pods, sandboxes and drivers of one boot that are told apart. */
  incidentNames: 1_000,
  /** incident: a boot without an entry of its shutdown in its last minutes did not end in order. */
  shutdownWithinMs: 5 * 60_000,
  /** incident: failures of lease or status this close are one freeze, of at least this many over at least this long. */
  freezeGapMs: 180_000,
  freezeFailures: 3,
  freezeAtLeastMs: 60_000,
  /** incident: kubelet fails its lease until the API server is up. */
  freezeNotBeforeMs: 300_000,
  /** incident: a kubelet that wrote a line a minute for an hour and then none for this long has frozen. */
  silenceMs: 600_000,
  silenceLinesPerHour: 60,
  /** incident: records of a crash in pstore, and bytes of each that are looked at. */
  pstoreFiles: 64,
  pstoreBytes: 64 * 1024,

  /**
   * A unit is told to have written a file by its date only where the wall clock was not stepped since: it may be slewed
   * by this much. The dates of files lag by a tick of the kernel, 10 ms at the slowest. A unit that was over within
   * this time was about one thing, whatever its type says.
   */
  clockSlewUs: 2_000_000n,
  fileClockLagUs: 10_000n,
  shortRunUs: 600_000_000n,

  /** The largest record of /dev/kmsg: PRINTK_MESSAGE_MAX is 2 KiB, escapes and a dictionary make it longer. */
  kmsgRecordBytes: 16 * 1024,
  /** Records taken from /dev/kmsg in one look: a ring of 16 MiB holds fewer. */
  kmsgRecords: 200_000,
  /** A follower reads /dev/kmsg this often, and at most so many records before others may run. */
  kmsgPollMs: 250,
  kmsgRecordsAtOnce: 2_000,
  /** Lines this soon after the head of a stall belong to its dump. */
  stallDumpMs: 10_000,
  /** Tasks that stalls name and that are told of, and hours of a boot whose counts are kept (two weeks). */
  stallTasks: 8,
  kernelHours: 24 * 14,
} as const;
