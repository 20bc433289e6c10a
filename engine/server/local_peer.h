#pragma once

#include <boost/asio/ip/address.hpp>

namespace dsbench::engine::server {

// Whether who speaks from this address is on this machine: 127.0.0.0/8, ::1, and the former in IPv6's
// clothes. An address of the machine's network is not taken for it, even if it is its own.
[[nodiscard]] inline bool is_local_peer(const boost::asio::ip::address& peer) {
  if (peer.is_loopback()) return true;
  return peer.is_v6() && peer.to_v6().is_v4_mapped() &&
         boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, peer.to_v6()).is_loopback();
}

}  // namespace dsbench::engine::server
