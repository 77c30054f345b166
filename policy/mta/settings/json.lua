-- KumoMTA's policy script, for instance. Where domains share a site, the last that configured it decides for all.
local list = kumo.serde.json_load '@FILE@'
kumo.on('get_egress_path_config', function(domain, source_name, site_name)
  if list.policies[domain] then
    return kumo.make_egress_path { enable_tls = 'Required' }
  end
  return kumo.make_egress_path {}
end)
