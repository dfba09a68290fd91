internal import CSquall
package import Glibc

/// What the kernel lets this process have, and how it is asked for more.
package enum ThisProcess {
  /// The commit it was built from; empty when unknown.
  package static let commit = unsafe String(cString: squall_commit())

  /// CPUs it may run on, ascending.
  package static var cpus: [UInt16] {
    var cpus = [UInt16](repeating: 0, count: 1_024)
    let count = unsafe squall_cpus_allowed(&cpus, UInt32(cpus.count))
    return count > 0 ? Array(cpus.prefix(Int(count))) : [0]
  }

  /// Binds this thread to one CPU.
  package static func pin(to cpu: UInt16) throws(SystemError) {
    try SystemError.check("sched_setaffinity", squall_cpu_pin(cpu))
  }

  /// Asks for at least so many file descriptors. Returns how many it may have now.
  @discardableResult
  package static func raiseDescriptorLimit(to wanted: UInt64) -> UInt64 {
    squall_files_raise(wanted)
  }

  /// Lets this thread's waits end at their deadline instead of up to 50 µs after it
  /// (PR_SET_TIMERSLACK, prctl(2)).
  package static func sharpenTimers() { squall_timers_sharpen() }

  /// Gives the kernel back what is free of the heap, in whole pages. Takes some 0.2 ms a MiB.
  package static func giveBackFreeMemory() { squall_heap_trim() }

  /// Asks to be killed when the thread that started this process ends. False when `parent` is gone.
  package static func follow(_ parent: Int32) -> Bool { squall_process_follow(parent) }
}

/// Kind and permissions (st_mode, inode(7)) of what the name leads to.
package func fileMode(_ path: String) throws(SystemError) -> mode_t {
  mode_t(try SystemError.check("stat", unsafe squall_file_mode(path)))
}

package func isRegularFile(_ descriptor: Int32) -> Bool {
  squall_file_is_regular(descriptor) != 0
}
