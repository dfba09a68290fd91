internal import Glibc
package import SquallEngine

/// The built-in target, running: its processes, and what they count together.
///
/// The processes end when this object does, or when the process that holds it does: each waits for
/// the end of its socket to that one. (A parent's death signal, PR_SET_PDEATHSIG, would come at the
/// end of the thread that started them.)
package final class Target {
  /// Where it listens, with the port the kernel chose.
  package let address: Address
  /// Ids of the processes, in the order of the options' CPUs; empty when it runs in this one.
  package var processes: [Int32] { children.map(\.id) }

  private var children: [ChildProcess] = []
  private let memory: TargetMemory
  /// Our ends of the sockets on which a process says that it is ready, and learns that it is not
  /// wanted any more.
  private var controls: [Int32] = []
  private var threads: [pthread_t] = []
  private var arrivalsFile: Int32 = -1
  private var isStopped = false

  /// How long `stop` waits before it kills.
  private static let patienceMs: Int32 = 5_000

  /// Starts the target and waits until it serves. Every listener is there before anyone is told the
  /// port, so that none misses connections.
  ///
  /// `inThreads` runs it in threads of this process, for a program that is not `squall` itself:
  /// otherwise this program is started again, with `TargetServer.argument` as its first argument.
  package init(options: TargetOptions, inThreads: Bool = false) throws(SystemError) {
    precondition(
      (1...TargetOptions.processCountMax).contains(options.cpus.count)
        && options.slotCount <= TargetOptions.slotCountMax
        && options.arrivalCountMax <= TargetOptions.arrivalCountMaxMax
        && (1...TargetOptions.connectionCountMaxMax).contains(options.connectionCountMax),
      "options beyond their limits: \(options)")
    memory = try TargetMemory.create(options)
    let listeners: [Int32]
    (listeners, address) = try options.address.listen(count: options.cpus.count)
    defer { for listener in listeners { close(listener) } }
    do throws(SystemError) {
      if let path = options.arrivalsPath { arrivalsFile = try Self.create(path) }
      for (index, listener) in listeners.enumerated() {
        let (ours, theirs) = try ChildProcess.pair()
        controls.append(ours)
        defer { close(theirs) }
        if inThreads {
          try startThread(index, listener: listener, control: theirs)
        } else {
          try startProcess(
            index, cpu: options.cpus[index], listener: listener, control: theirs)
        }
      }
      for index in 0..<controls.count { try awaitReady(index) }
    } catch {
      end()
      throw error
    }
  }

  deinit { end() }

  /// What was counted so far.
  package func counts() -> TargetCounts { memory.counts }

  /// Waits up to `withinMs` for a process to end by itself. False when one did; a signal also ends
  /// the wait.
  package func isServing(withinMs: Int32) -> Bool {
    var polls = controls.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    return unsafe poll(&polls, nfds_t(polls.count), withinMs) <= 0
  }

  /// Why a process gave up; nil when none did, or was killed.
  package var failure: SystemError? {
    (0..<memory.options.cpus.count).lazy.compactMap { self.memory.page($0).failure }.first
  }

  /// Ends the target and writes the arrivals. Throws when they could not be written.
  package func stop() throws(SystemError) {
    guard !isStopped else { return }
    end()
    guard arrivalsFile >= 0 else { return }
    let file = arrivalsFile
    arrivalsFile = -1
    defer { close(file) }
    try Self.write(memory.arrivals, to: file)
  }

  // MARK: Starting

  private func startProcess(
    _ index: Int, cpu: UInt16?, listener: Int32, control: Int32
  ) throws(SystemError) {
    children.append(
      try ChildProcess(
        role: TargetServer.argument, cpu: cpu, arguments: ["\(index)"],
        descriptors: [memory.descriptor, control, listener]))
  }

  /// A server's place in this process.
  private final class Seat {
    let index: Int
    let memory: Int32
    let listener: Int32
    let control: Int32

    init(index: Int, memory: Int32, listener: Int32, control: Int32) {
      self.index = index
      self.memory = memory
      self.listener = listener
      self.control = control
    }

    func run() {
      do throws(SystemError) {
        _ = TargetServer.serve(
          try TargetMemory(descriptor: memory), index: index, listener: listener,
          control: control)
      } catch {
        close(control)
      }
    }
  }

  private func startThread(
    _ index: Int, listener: Int32, control: Int32
  ) throws(SystemError) {
    let seat = Seat(
      index: index, memory: dup(memory.descriptor), listener: dup(listener),
      control: dup(control))
    var thread = pthread_t()
    let error = unsafe pthread_create(
      &thread, nil,
      { argument in
        unsafe Unmanaged<Seat>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(seat).toOpaque())
    guard error == 0 else { throw SystemError(call: "pthread_create", errno: error) }
    threads.append(thread)
  }

  private func awaitReady(_ index: Int) throws(SystemError) {
    var word: UInt8 = 0
    guard uninterrupted({ unsafe read(controls[index], &word, 1) }) == 1 else {
      throw memory.page(index).failure ?? SystemError(call: "the target's process", errno: ECHILD)
    }
  }

  // MARK: Ending

  private func end() {
    guard !isStopped else { return }
    isStopped = true
    for control in controls { shutdown(control, Int32(SHUT_WR)) }
    for (index, control) in controls.enumerated() {
      if !Self.awaitEnd(of: control), index < children.count { children[index].kill() }
      close(control)
    }
    for child in children { Self.reap(child) }
    for thread in threads { pthread_join(thread, nil) }
    controls = []
    children = []
    threads = []
  }

  /// False when the other end is still there after `patienceMs`.
  private static func awaitEnd(of control: Int32) -> Bool {
    var poll = pollfd(fd: control, events: Int16(POLLIN), revents: 0)
    var word: UInt8 = 0
    while true {
      guard uninterrupted({ Int(unsafe Glibc.poll(&poll, 1, patienceMs)) }) > 0 else {
        return false
      }
      // Its word that it is ready may not have been read.
      guard uninterrupted({ unsafe read(control, &word, 1) }) == 1 else { return true }
    }
  }

  /// The process has closed its socket or was killed, so this takes what an exit takes.
  private static func reap(_ child: ChildProcess) {
    while child.reap() == nil { usleep(200) }
  }

  // MARK: Arrivals

  private static func create(_ path: String) throws(SystemError) -> Int32 {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw SystemError.last("open \(path)") }
    return file
  }

  private static func write(_ arrivals: [UInt64], to file: Int32) throws(SystemError) {
    let words = arrivals.map(\.littleEndian)
    var offset = 0
    while offset < words.count * MemoryLayout<UInt64>.size {
      let count = unsafe words.withUnsafeBytes { bytes in
        uninterrupted {
          unsafe Glibc.write(file, bytes.baseAddress! + offset, bytes.count - offset)
        }
      }
      guard count > 0 else { throw SystemError.last("write the arrivals") }
      offset += count
    }
  }
}
