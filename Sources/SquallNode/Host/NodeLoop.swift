internal import NIOCore
internal import NIOPosix

/// The event loop of this process's hosts. It ends with the process, so whoever asks a host something
/// is answered, however late the question comes.
enum NodeLoop {
  private static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

  static let shared: any EventLoop = group.next()
}
